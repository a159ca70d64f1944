-- similar: signatures that share frames: with one signature, or any two (signature is empty).
-- Parameters: signature, limit (rows).
WITH flat AS (
    SELECT signature AS name, unnest(frames) AS frame
    FROM crashes
    WHERE signature IS NOT NULL
),
used AS (
    SELECT DISTINCT name, frame
    FROM flat
)
SELECT
    a.name AS signature,
    b.name AS similar_to,
    count(*) AS shared_frames,
    min(a.frame) AS one_of_them
FROM used AS a
INNER JOIN used AS b ON a.frame = b.frame
WHERE (a.name = :signature AND a.name <> b.name) OR (:signature = '' AND a.name < b.name)
GROUP BY a.name, b.name
ORDER BY shared_frames DESC, signature, similar_to
LIMIT :limit
