package dtgate.cleaned_name

clean := lower(regex.replace(trim_space(input.change.name.requested), `\s+`, "-"))

deny contains "no admin tokens" if startswith(clean, "admin-")
