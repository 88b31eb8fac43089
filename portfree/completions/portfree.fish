complete -c portfree -s w -l wait -d 'Waits up to DUR for the port to become free, signalling nobody' -r
complete -c portfree -s s -l signal -d 'First signal to each process' -r
complete -c portfree -s g -l grace -d 'Time between the first signal and KILL; 0 kills at once' -r
complete -c portfree -l settle -d 'How long the port must stay free when a parent lives that might start the holder again' -r
complete -c portfree -s c -l check -d 'Says by the exit code alone whether the port is free'
complete -c portfree -s l -l list -d 'A record per holder, and per connection in the way'
complete -c portfree -l pids -d 'The PID of each process that freeing would signal, a line each'
complete -c portfree -l next -d 'Prints the first free port at or above PORT, or within the range'
complete -c portfree -s n -l dry-run -d 'Prints the records it would act on, signals nobody'
complete -c portfree -l no-kill -d 'Never escalates to KILL'
complete -c portfree -l only-holders -d 'Leaves the holders\' descendants alone'
complete -c portfree -l established -d 'Also takes processes that hold connections on this local port'
complete -c portfree -s f -l force -d 'Also takes a container engine\'s port forwarder, and frees a range of more than 100 ports'
complete -c portfree -s q -l quiet -d 'No records; words only with exit code 125'
complete -c portfree -s v -l verbose -d 'Says each step on standard error'
complete -c portfree -l json -d 'Each record as a line of JSON'
complete -c portfree -s h -l help -d 'Print help (see more with \'--help\')'
complete -c portfree -s V -l version -d 'Print version'
