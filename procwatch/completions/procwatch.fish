complete -c procwatch -s r -l restart -d 'on-failure (default), always or never' -r -f -a "on-failure\t'After every end but exit code 0'
always\t'After every end'
never\t'After none'"
complete -c procwatch -s m -l max-restarts -d 'Restarts in a row before giving up (10)' -r
complete -c procwatch -l stable -d 'A run this long starts the count anew (10s)' -r
complete -c procwatch -l startup-restarts -d 'As -m, until it was stable once (as -m)' -r
complete -c procwatch -s b -l backoff -d 'Pause before a restart (500ms..30s)' -r
complete -c procwatch -l health-cmd -d '`sh -c CMD` says whether it is healthy' -r
complete -c procwatch -l health-interval -d 'Pause between two health checks (10s)' -r
complete -c procwatch -l health-timeout -d 'A check that takes longer has failed (5s)' -r
complete -c procwatch -l health-retries -d 'Failures in a row that restart it (3)' -r
complete -c procwatch -l health-start-period -d 'Failures so early do not count (0s)' -r
complete -c procwatch -l max-memory -d 'Restarts it when its tree uses more' -r
complete -c procwatch -s s -l stop-signal -d 'The signal that stops COMMAND (TERM)' -r
complete -c procwatch -s g -l grace -d 'From that to KILL of all that is left (8s)' -r
complete -c procwatch -l before -d 'Runs `sh -c CMD` before every start' -r
complete -c procwatch -l after -d 'Runs `sh -c CMD` after every end' -r
complete -c procwatch -s o -l log -d 'Appends COMMAND\'s output to FILE' -r -F
complete -c procwatch -l log-size -d 'Rotates it at this size (10M; 0: never)' -r
complete -c procwatch -l log-keep -d 'Rotated files to keep, .1 the newest (10)' -r
complete -c procwatch -l events -d 'Appends each event as a line of JSON' -r -F
complete -c procwatch -s q -l quiet -d 'No records; words only with exit code 125'
complete -c procwatch -s v -l verbose -d 'Says each step on standard error'
complete -c procwatch -l json -d 'Each record as a line of JSON'
complete -c procwatch -s h -l help -d 'Print help (see more with \'--help\')'
complete -c procwatch -s V -l version -d 'Print version'
