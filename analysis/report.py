def write(study, rows, folder, command):
    pass
