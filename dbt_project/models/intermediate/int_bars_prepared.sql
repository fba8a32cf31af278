{# Only in live.duckdb, whose service fills it (live/prepared.py): the rows that int_known_before
   will have for the bars of coming minutes, with nothing yet for the bars themselves. #}
select * from {{ ref('int_known_before') }}
where false
