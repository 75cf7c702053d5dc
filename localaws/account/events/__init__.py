"""Events: instances' changes of state, rules, asynchronous invocations and e-mail."""
