-- arrivals: crashes whose core came incomplete or not as asked, by the reason.
-- Parameters: since and until (days), limit (rows).
SELECT
    verdict,
    why,
    count(DISTINCT crash) AS crashes,
    count(DISTINCT machine) AS machines,
    max(pages_missing) AS most_pages_missing,
    max(day) AS last_seen,
    max(path) AS example
FROM crashes
WHERE verdict <> 'complete' AND day >= DATE :since AND day <= DATE :until
GROUP BY verdict, why
ORDER BY crashes DESC, example
LIMIT :limit
