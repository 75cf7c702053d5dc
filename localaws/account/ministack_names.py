"""The names of ministack's inside that localaws calls or replaces; `check` requires them."""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.metadata import version

VERSION = "1.5.33"
_CLOUDFORMATION = "ministack.services.cloudformation"

NAMES: dict[str, tuple[str, ...]] = {
    "ministack.app": (
        "app",
        "AUTH",
        "SERVICE_HANDLERS",
        "_credential_failure",
        "pin_request_origin",
    ),
    "ministack.core.lambda_runtime": ("_PYTHON_WORKER_SCRIPT", "execution_credentials"),
    "ministack.core.router": (
        "SERVICE_PATTERNS",
        "_KNOWN_AWS_SERVICE_NAMES",
        "detect_service",
        "extract_access_key_id",
    ),
    "ministack.core.sigv4": (
        "decode_header_value",
        "header_signature_failure",
        "parse_header_signature",
        "parse_query_signature",
        "presigned_request_is_expired",
        "request_time_failure",
    ),
    "ministack.core.iam_actions": (
        "SERVICE_TO_IAM_NAMESPACE",
        "access_denied_response",
        "extract_iam_action",
        "extract_resource_arn",
        "request_tag_context",
    ),
    "ministack.core.iam_evaluator": (
        "AuthError",
        "CredentialResolutionError",
        "EvalContext",
        "_gather_role_policies",
        "enforce",
        "evaluate",
        "evaluate_resource_policy",
        "resolve_credential",
    ),
    "ministack.core.responses": (
        "_account_from_sts_session",
        "get_account_id",
        "get_region",
        "now_iso",
        "request_scope",
    ),
    "ministack.services.ec2": (
        "_ACTION_MAP",
        "_DEFAULT_SG_ID",
        "_DEFAULT_SUBNET_ID",
        "_attach_volume",
        "_authorize_sg_ingress",
        "_create_network_interface",
        "_create_tags",
        "_delete_security_group",
        "_delete_subnet",
        "_describe_instances",
        "_describe_snapshots",
        "_detach_internet_gateway",
        "_error",
        "_glob_match",
        "_iam_instance_profile_associations",
        "_instance_xml",
        "_instances",
        "_key_pairs",
        "_launch_instances_internal",
        "_launch_templates",
        "_lt_data_xml",
        "_mark_iam_instance_profile_association_disassociated",
        "_matches_filters",
        "_network_interfaces",
        "_new_image_id",
        "_new_snapshot_id",
        "_new_volume_id",
        "_p",
        "_parse_filters",
        "_parse_ip_permissions",
        "_parse_lt_data",
        "_parse_member_list",
        "_random_ip",
        "_resolve_iam_instance_profile",
        "_resource_matches_tag_filters",
        "_rules_match",
        "_security_groups",
        "_snapshot_matches_filters",
        "_snapshots",
        "_subnets",
        "_tags",
        "_terminate_instances",
        "_upsert_iam_instance_profile_association",
        "_volumes",
        "_xml",
        "parse_qs",
    ),
    "ministack.services.cloudwatch_logs": ("_log_groups",),
    "ministack.services.iam": (
        "_create_oidc_provider",
        "_create_service_linked_role",
        "_error",
        "_IAM_HANDLERS",
        "_lookup_instance_profile",
        "_oidc_providers",
        "_p",
        "_roles",
    ),
    "ministack.services.dynamodb": ("_update_continuous_backups", "_update_ttl"),
    "ministack.services.eventbridge": (
        "_dispatch_event",
        "_dispatch_to_lambda",
        "_invoke_target",
        "_now_ts",
        "_rules",
        "start_scheduler",
    ),
    "ministack.services.lambda_svc": (
        "_emit_lambda_logs",
        "_execute_function_with_config_scope",
        "_execution_record_for_config",
        "_get_func_record_for_ref",
        "_route_async_failure",
        "execution_credentials",
        "invoke_async_with_retry",
    ),
    "ministack.services.s3": ("presigned_request_is_expired",),
    "ministack.services.scheduler": (
        "_create_schedule",
        "_create_schedule_group",
        "_delete_schedule",
        "_delete_schedule_group",
        "_ensure_default_group",
        "_now",
        "_schedule_arn",
        "_schedule_groups",
        "_schedules",
        "_tags",
        "_update_schedule",
        "start_scheduler",
    ),
    "ministack.services.sns": (
        "_fanout",
        "_list_subscriptions",
        "_list_subscriptions_by_topic",
        "_refresh_subscription_counts",
        "_resolve_message_for_protocol",
        "_subscribe",
        "_topics",
    ),
    "ministack.services.ssm": ("_parameters", "_public_parameter", "error_response_json"),
    "ministack.services.sts": ("register_session",),
    _CLOUDFORMATION: ("_change_sets", "_stack_events", "_stacks"),
    f"{_CLOUDFORMATION}.custom_resource": (
        "_pending",
        "deliver_response",
        "invoke_custom_resource",
        "register_token",
    ),
    f"{_CLOUDFORMATION}.changesets": ("_add_event", "_deploy_stack_async"),
    f"{_CLOUDFORMATION}.handlers": (
        "_ACTION_HANDLERS",
        "_add_event",
        "_delete_stack_async",
        "_deploy_stack_async",
        "_error",
        "_p",
        "_resolve_stack",
        "_roll_back_operation",
        "_stack_has_no_updates",
        "_xml",
    ),
    f"{_CLOUDFORMATION}.helpers": ("_error",),
    f"{_CLOUDFORMATION}.wait_conditions": (
        "SIGNAL_PATH",
        "deliver_signal",
        "has_handle",
        "wait_for",
    ),
    f"{_CLOUDFORMATION}.provisioners": (
        "_RESOURCE_HANDLERS",
        "_STACK_TAG_PROPERTY",
        "_cfn_wait_condition_definition",
        "_custom_named_replacement_error",
        "_property_recreation",
        "_replacing_change",
    ),
    f"{_CLOUDFORMATION}.stacks": (
        "_add_event",
        "_custom_named_replacement_error",
        "_delete_resource",
        "_delete_stack_async",
        "_deploy_stack_async",
        "_property_recreation",
        "_provision_resource",
        "_replacing_change",
        "_roll_back_operation",
        "_runs_on_worker_thread",
        "_sends_back_failed_update",
        "_update_resource",
    ),
}

SIGNATURES = {
    ("ministack.app", "_credential_failure"): "service iam_action request_id denied headers",
    ("ministack.core.iam_evaluator", "resolve_credential"): "access_key_id account_id "
    "session_token",
    ("ministack.core.sigv4", "header_signature_failure"): "signature secret method raw_path "
    "query_params headers body presigned explain",
    ("ministack.services.eventbridge", "_dispatch_to_lambda"): "arn payload",
    ("ministack.services.eventbridge", "_invoke_target"): "target event rule view",
    ("ministack.services.lambda_svc", "invoke_async_with_retry"): "func event",
    ("ministack.services.sns", "_fanout"): "topic_arn msg_id message subject message_structure "
    "message_attributes message_group_id message_dedup_id",
    (f"{_CLOUDFORMATION}.stacks", "_add_event"): "stack_id stack_name logical_id resource_type "
    "status reason physical_id detailed_status",
    (f"{_CLOUDFORMATION}.stacks", "_update_resource"): "resource_type physical_id old_props "
    "new_props stack_name logical_id old_attrs",
    (f"{_CLOUDFORMATION}.stacks", "_delete_resource"): "resource_type physical_id props "
    "stack_name logical_id",
    (f"{_CLOUDFORMATION}.stacks", "_provision_resource"): "resource_type logical_id props "
    "stack_name",
    (f"{_CLOUDFORMATION}.stacks", "_delete_stack_async"): "stack_name stack_id retain_resources "
    "force",
    (f"{_CLOUDFORMATION}.stacks", "_roll_back_operation"): "stack_name stack_id stack operation "
    "reason_override",
    (f"{_CLOUDFORMATION}.wait_conditions", "deliver_signal"): "token payload",
    (f"{_CLOUDFORMATION}.wait_conditions", "wait_for"): "token stack_id stack_name logical_id "
    "resource_type count timeout_s",
}


def check() -> None:
    """Check version, names and signatures.

    Raises:
        RuntimeError: One of them is not what localaws was written for.
    """
    installed = version("ministack")
    if installed != VERSION:
        raise RuntimeError(
            f"ministack must be {VERSION}, whose inside localaws/account knows, got {installed}; "
            "install requirements.txt"
        )
    for module, names in NAMES.items():
        missing = [name for name in names if not hasattr(import_module(module), name)]
        if missing:
            raise RuntimeError(f"{module} has no {', '.join(missing)}; localaws/account needs it")
    for (module, name), expected in SIGNATURES.items():
        got = " ".join(inspect.signature(getattr(import_module(module), name)).parameters)
        if got != expected:
            raise RuntimeError(f"{module}.{name} takes ({got}), localaws/account knows {expected}")
