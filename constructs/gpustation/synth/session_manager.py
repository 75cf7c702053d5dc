"""What a machine's role needs for Session Manager, and nothing more."""

SESSION_MANAGER_ACTIONS = (
    # AWS, "Add Session Manager permissions to an existing IAM role": the least that works. The
    # managed policy AmazonSSMManagedInstanceCore would let the machine read every parameter.
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)
"""They take no resource (service authorization reference)."""

WRITES_BY_NO_RESOURCE = (
    "some of Systems Manager's actions write, and take no resource; the others name theirs"
)
"""Why checkov's CKV_AWS_111 stays for the roles that have these actions."""
