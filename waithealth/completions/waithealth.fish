complete -c waithealth -s t -l timeout -d 'for all of it (30s; 0 tries once)' -r
complete -c waithealth -s i -l interval -d 'a fixed pause between two attempts. Without it the pause is 1 % of' -r
complete -c waithealth -s a -l attempt-timeout -d 'for one attempt, name look-up and body included (5s)' -r
complete -c waithealth -l code -d 'good statuses: 200,204 or 2xx or 200-399 (200-299)' -r
complete -c waithealth -l body -d 'the body must match; of up to 1 MiB, a longer one fails' -r
complete -c waithealth -l field -d 'a field of the JSON body is there and not null or false, or equal to' -r
complete -c waithealth -l print -d 'on success prints that field (. the whole body), not the record' -r
complete -c waithealth -s H -l header -d 'of the request, repeatable; replaces our own, Host included' -r
complete -c waithealth -s X -l method -d 'instead of GET' -r
complete -c waithealth -l basic-auth -d 'of the request' -r
complete -c waithealth -l cacert -d 'trusts the certificates in FILE (PEM) instead of the system\'s' -r
complete -c waithealth -l successes -d 'this many passes in a row (1)' -r
complete -c waithealth -s P -l pid -d 'gives up with 1 at once when this process is gone (repeatable)' -r
complete -c waithealth -s p -l pidfile -d 'the same with the process that FILE means: who holds its lock, or' -r
complete -c waithealth -l once -d 'one attempt per target, exit 0 or 1 and nothing else: for HEALTHCHECK'
complete -c waithealth -s k -l insecure -d 'takes any certificate'
complete -c waithealth -s L -l location -d 'follows up to 10 redirects'
complete -c waithealth -s 4 -d 'IPv4 alone; both families are tried otherwise'
complete -c waithealth -s 6 -d 'IPv6 alone'
complete -c waithealth -l any -d 'one healthy target is enough'
complete -c waithealth -l down -d 'waits for the opposite: every target refuses or is absent'
complete -c waithealth -s q -l quiet -d 'no records, no words but those that go with 125'
complete -c waithealth -s v -l verbose -d 'says each change in what a target answers'
complete -c waithealth -l json -d 'records as JSON, one object a line'
complete -c waithealth -s h -l help -d '-h is one screen, --help all of it'
complete -c waithealth -s V -l version -d 'prints the version'
