"""The page of leads beside Argilla: for owners and admins, who log in with their accounts there."""
