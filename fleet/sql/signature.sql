-- signature: the crashes with one signature, newest first, and what evidence the bucket has.
-- Parameters: signature, since and until (days), limit (rows).
SELECT DISTINCT
    time,
    crash,
    node,
    release,
    uptime_s,
    verdict,
    headline,
    essential_path,
    core_path
FROM crashes
WHERE signature = :signature AND day >= DATE :since AND day <= DATE :until
ORDER BY time DESC, crash
LIMIT :limit
