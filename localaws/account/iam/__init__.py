"""IAM: who signed a request, sessions of roles, and what a call is authorized on."""
