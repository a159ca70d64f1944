-- machine: the crashes of one machine, newest first.
-- Parameters: machine (32 hex digits, or the host name), since and until (days), limit (rows).
SELECT DISTINCT
    time,
    crash,
    release,
    signature,
    uptime_s,
    verdict,
    path
FROM crashes
WHERE (machine = :machine OR node = :machine) AND day >= DATE :since AND day <= DATE :until
ORDER BY time DESC, crash
LIMIT :limit
