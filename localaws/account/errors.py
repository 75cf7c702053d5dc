"""The error of an AWS API, raised anywhere in the child and sent in the API's own form."""


class ApiError(Exception):
    """An error response of an AWS API.

    Args:
        code: Error code, e.g. `InvalidAMIID.NotFound`.
        message: Text, in AWS's words where they are known.
        status: HTTP status. Default: 400.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
