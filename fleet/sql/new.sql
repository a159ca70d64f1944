-- new: signatures that were first seen since a day, or on no other release than this one.
-- Parameters: since (day), release (uname -r; empty: any), limit (rows).
-- Releases are compared in the whole index, so an old signature never counts as new.
SELECT
    signature,
    count(DISTINCT crash) AS crashes,
    count(DISTINCT machine) AS machines,
    min(day) AS first_seen,
    max(day) AS last_seen,
    count(DISTINCT release) AS kernels,
    max(path) AS example
FROM crashes
WHERE signature IS NOT NULL
GROUP BY signature
HAVING min(day) >= DATE :since
    AND (:release = '' OR (min(release) = :release AND max(release) = :release))
ORDER BY crashes DESC, signature
LIMIT :limit
