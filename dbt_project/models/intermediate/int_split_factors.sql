{# One row per (symbol, split_date): the product of numerator / denominator over the symbol's splits
   up to then. A price of session d counts as price * factor(d) / factor(S) for session S. #}
with splits as (select * from {{ ref('stg_splits') }}),

resolved as (
    select *
    from splits
    qualify
        row_number() over (
            partition by symbol, split_date order by {{ provider_rank() }}
        ) = 1
),

cumulated as (
    select
        symbol,
        split_date,
        product(numerator / denominator) over (
            partition by symbol order by split_date
        ) as split_factor
    from resolved
)

select * from cumulated
