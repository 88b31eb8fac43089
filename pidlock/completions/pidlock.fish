complete -c pidlock -s w -l wait -d 'wait for the lock up to DUR: 5, 500ms, 2m, 1h30m, or inf' -r
complete -c pidlock -s E -l conflict-exit-code -d '' -r
complete -c pidlock -s o -l log -d 'with -d: append COMMAND\'s output to FILE (/dev/null)' -r
complete -c pidlock -l mode -d 'permissions of a FILE it makes (0600). Who may read FILE' -r
complete -c pidlock -l status -d 'print a record: state, PID, user, start, name, command' -r
complete -c pidlock -l holder -d 'print the holder\'s PID alone' -r
complete -c pidlock -s n -d 'fail at once when the lock is held (the default)'
complete -c pidlock -s d -l detach -d 'start COMMAND in the background in a session of its own,'
complete -c pidlock -s F -l no-fork -d 'become COMMAND instead of waiting for it; FILE is left in'
complete -c pidlock -s q -l quiet -d 'no records, and no words but those that go with 125'
complete -c pidlock -s v -l verbose -d 'say each step'
complete -c pidlock -l json -d 'write records as JSON, one object a line'
complete -c pidlock -s h -l help -d '-h for one screen, --help for all'
complete -c pidlock -s V -l version -d 'print the version'
