complete -c treekill -s p -l pidfile -d 'The process that FILE\'s first line names (repeatable)' -r -F
complete -c treekill -l name -d 'Every process with exactly this name' -r
complete -c treekill -l match -d 'Every process whose command line matches' -r
complete -c treekill -l env -d 'Every process whose environment shows this' -r
complete -c treekill -s u -l user -d 'Narrows --name, --match, --env to this user' -r
complete -c treekill -s s -l signal -d 'First signal to each process' -r
complete -c treekill -s g -l grace -d 'Time between the first signal and KILL; 0 kills at once' -r
complete -c treekill -l no-kill -d 'Never escalates to KILL'
complete -c treekill -l leader-first -d 'First signal to the root alone, KILL to all'
complete -c treekill -l children -d 'Everything below the root, not the root'
complete -c treekill -l must-exist -d 'Nothing to kill is 1 instead of 0'
complete -c treekill -s n -l dry-run -d 'Shows what would be signalled; signals nobody'
complete -c treekill -s q -l quiet -d 'No records; words only with exit code 125'
complete -c treekill -s v -l verbose -d 'Says each step on standard error'
complete -c treekill -l json -d 'Each record as a line of JSON'
complete -c treekill -s h -l help -d 'Print help (see more with \'--help\')'
complete -c treekill -s V -l version -d 'Print version'
