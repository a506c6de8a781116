"""The states of a case, and how what is known of an applicant is sealed."""
