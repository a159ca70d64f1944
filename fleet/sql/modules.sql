-- modules: modules with code on the stacks of crashes.
-- Parameters: since and until (days), limit (rows).
WITH seen AS (
    SELECT crash, machine, signature, day, unnest(stack_modules) AS module
    FROM crashes
    WHERE day >= DATE :since AND day <= DATE :until
)
SELECT
    module,
    count(DISTINCT crash) AS crashes,
    count(DISTINCT machine) AS machines,
    count(DISTINCT signature) AS signatures,
    min(day) AS first_seen,
    max(day) AS last_seen
FROM seen
GROUP BY module
ORDER BY crashes DESC, module
LIMIT :limit
