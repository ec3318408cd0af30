"""`xinyu data …`: the data of whole deployments."""
