"""Taking the data of one deployment to another: databases table by table, uploaded files one by one, both compared."""
