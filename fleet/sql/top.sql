-- top: signatures by crashes, with machines, days and kernels.
-- Parameters: since and until (days), limit (rows).
SELECT
    signature,
    count(DISTINCT crash) AS crashes,
    count(DISTINCT machine) AS machines,
    min(day) AS first_seen,
    max(day) AS last_seen,
    count(DISTINCT release) AS kernels,
    min(release) AS lowest_kernel,
    max(release) AS highest_kernel
FROM crashes
WHERE signature IS NOT NULL AND day >= DATE :since AND day <= DATE :until
GROUP BY signature
ORDER BY crashes DESC, signature
LIMIT :limit
