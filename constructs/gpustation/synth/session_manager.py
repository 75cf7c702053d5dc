"""Permissions of a machine's role for Session Manager."""

SESSION_MANAGER_ACTIONS = (
    # Minimal set (AWS, "Add Session Manager permissions to an existing IAM role"). The managed
    # policy AmazonSSMManagedInstanceCore would also let the machine read every SSM parameter.
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)
"""Actions without resource-level permissions (service authorization reference)."""

WRITES_BY_NO_RESOURCE = (
    "some of Systems Manager's actions write, and take no resource; the others name theirs"
)
"""Reason to acknowledge checkov's CKV_AWS_111 for roles with these actions."""
