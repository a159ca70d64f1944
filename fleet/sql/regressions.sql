-- regressions: crashes of each release, for each machine-day of uptime before a crash.
-- Parameters: since and until (days), limit (rows).
-- Machines that never crashed are not in the index. So the rate is that of crashed boots: it compares
-- releases, and is not the rate of the whole fleet. Join your inventory for that.
WITH one AS (
    SELECT
        crash,
        max(release) AS on_release,
        max(machine) AS on_machine,
        max(signature) AS with_signature,
        max(uptime_s) AS up,
        min(day) AS on_day
    FROM crashes
    WHERE release IS NOT NULL AND day >= DATE :since AND day <= DATE :until
    GROUP BY crash
)
SELECT
    on_release AS kernel,
    count(*) AS crashes,
    count(DISTINCT on_machine) AS machines,
    count(DISTINCT with_signature) AS signatures,
    min(on_day) AS first_seen,
    max(on_day) AS last_seen,
    round(sum(CAST(up AS DOUBLE)) / 86400, 1) AS machine_days,
    round(count(up) / nullif(sum(CAST(up AS DOUBLE)) / 86400, 0), 3) AS crashes_per_machine_day
FROM one
GROUP BY on_release
ORDER BY first_seen DESC, kernel
LIMIT :limit
