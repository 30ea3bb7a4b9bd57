"""What a person sees who brings something wrong: a sentence with a cure, an exit status, and nothing half-written.

Each file is a subject, most of it a table: a row is what is typed, the words that must be seen, and what is wrong in
the folder.
"""
