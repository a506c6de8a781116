"""`refi onboarding`: the operators' queue and the keys that applicants are sealed with."""
