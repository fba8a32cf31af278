{# One row per row of states_1m that passes the loose gate: what the model learns from and scores.
   #}
select * from {{ ref('states_1m') }}
where is_candidate
