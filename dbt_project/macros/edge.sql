{# EDGE, the spread estimator of Ardia, Guidotti and Kroencke (2024), in additive form: it needs
   only the sums of these products over its bars, so that windows of any kind can add them up.
   `edge_terms` gives each bar's terms, `edge_products` names the products ('r1_r4' is r1 * r4),
   and `edge_spread` turns a relation of their sums into spreads. The paper's r2 and r3 are no
   terms of their own: r2 is r4 + r5 and r3 is r1 + r5, so that 24 sums do. tests/test_dbt_edge.py
   holds it against the reference implementation. #}

{% macro edge_products() %}
    {% do return([
        'tau', 'po', 'pc', 'r1', 'r5', 'r1_r4', 'r1_r5', 'r4_r5',
        'tau_r4', 'tau_r5', 'tau_r4_r4', 'tau_r4_r5', 'tau_r5_r5',
        'tau_r1_r4_r4', 'tau_r1_r4_r5', 'tau_r1_r5_r5', 'tau_r4_r4_r5', 'tau_r4_r5_r5',
        'r1_r1_r4_r4', 'r1_r1_r4_r5', 'r1_r1_r5_r5', 'r1_r4_r4_r5', 'r1_r4_r5_r5', 'r4_r4_r5_r5',
    ]) %}
{% endmacro %}

{# The terms of one bar, from open, high, low, close and previous_high, _low, _close. #}
{% macro edge_terms() -%}
    ((high != low) or (low != previous_close))::double as tau,
    tau * ((open != high)::double + (open != low)::double) as po,
    tau * (
        (previous_close != previous_high)::double + (previous_close != previous_low)::double
    ) as pc,
    (ln(high) + ln(low)) / 2 - ln(open) as r1,
    ln(previous_close) - (ln(previous_high) + ln(previous_low)) / 2 as r4,
    ln(open) - ln(previous_close) as r5
{%- endmacro %}

{# The columns sum_<product>, each an aggregate over `over` (empty: a plain group by). #}
{% macro edge_sums(over='') -%}
    {%- for name in edge_products() %}
    sum({{ name | replace('_', ' * ') }}) {{ over }} as sum_{{ name }}
    {{- ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{# From `relation` with `keys`, bar_count and the sums: `keys` and spread, a fraction of price.
   Negative variance is clipped to 0; null with fewer than `min_bars` bars or where EDGE is
   undefined. Each step is a select of its own: as lateral aliases of one select the text would be
   expanded exponentially, and planning would take a second. #}
{% macro edge_spread(relation, keys, min_bars) -%}
    select
        {{ keys | join(', ') }},
        {# s2 is asked for by name: greatest(null, 0) is 0 #}
        case
            when bar_count >= {{ min_bars }} and sum_tau >= 2 and s2 is not null
                then sqrt(greatest(s2, 0))
        end as spread
    from (
        select
            *,
            case
                when v1 + v2 > 0 then (v2 * e1 + v1 * e2) / (v1 + v2) else (e1 + e2) / 2
            end as s2
        from (
            select
                *,
                wo * wo * (r1_r1_r2_r2 - 2 * a1 * tau_r1_r2_r2 + a1 * a1 * tau_r2_r2)
                + wc * wc * (r3_r3_r4_r4 - 2 * a3 * tau_r3_r4_r4 + a3 * a3 * tau_r4_r4)
                + 2 * wo * wc * (
                    r1_r2_r3_r4 - a3 * tau_r1_r2_r4 - a1 * tau_r2_r3_r4 + a1 * a3 * tau_r2_r4
                ) - e1 * e1 as v1,
                wo * wo * (r1_r1_r5_r5 - 2 * a1 * tau_r1_r5_r5 + a1 * a1 * tau_r5_r5)
                + wc * wc * (r4_r4_r5_r5 - 2 * a5 * tau_r4_r4_r5 + a5 * a5 * tau_r4_r4)
                + 2 * wo * wc * (
                    r1_r4_r5_r5 - a5 * tau_r1_r4_r5 - a1 * tau_r4_r5_r5 + a1 * a5 * tau_r4_r5
                ) - e2 * e2 as v2
            from (
                select
                    *,
                    wo * (r1_r2 - a1 * tau_r2) + wc * (r3_r4 - a3 * tau_r4) as e1,
                    wo * (r1_r5 - a1 * tau_r5) + wc * (r4_r5 - a5 * tau_r4) as e2
                from (
                    select
                        *,
                        r1 / nullif(tau, 0) as a1,
                        r3 / nullif(tau, 0) as a3,
                        r5 / nullif(tau, 0) as a5,
                        -4 / nullif(po, 0) as wo,
                        -4 / nullif(pc, 0) as wc
                    from (
                        select
                            *,
                            r1 + r5 as r3,
                            r1_r4 + r1_r5 as r1_r2,
                            r1_r4 + r4_r5 as r3_r4,
                            tau_r4 + tau_r5 as tau_r2,
                            tau_r4_r4 + tau_r4_r5 as tau_r2_r4,
                            tau_r4_r4 + 2 * tau_r4_r5 + tau_r5_r5 as tau_r2_r2,
                            tau_r1_r4_r4 + tau_r1_r4_r5 as tau_r1_r2_r4,
                            tau_r1_r4_r4 + 2 * tau_r1_r4_r5 + tau_r1_r5_r5 as tau_r1_r2_r2,
                            tau_r1_r4_r4 + tau_r4_r4_r5 as tau_r3_r4_r4,
                            tau_r1_r4_r4 + tau_r1_r4_r5 + tau_r4_r4_r5 + tau_r4_r5_r5
                                as tau_r2_r3_r4,
                            r1_r1_r4_r4 + 2 * r1_r1_r4_r5 + r1_r1_r5_r5 as r1_r1_r2_r2,
                            r1_r1_r4_r4 + 2 * r1_r4_r4_r5 + r4_r4_r5_r5 as r3_r3_r4_r4,
                            r1_r1_r4_r4 + r1_r1_r4_r5 + r1_r4_r4_r5 + r1_r4_r5_r5 as r1_r2_r3_r4
                        from (
                            select
                                {{ keys | join(', ') }},
                                bar_count,
                                sum_tau,
                                {%- for name in edge_products() %}
                                sum_{{ name }} / bar_count as {{ name }}{{ ',' if not loop.last }}
                                {%- endfor %}
                            from {{ relation }}
                        ) as means
                    ) as expanded
                ) as weights
            ) as estimates
        ) as variances
    ) as squares
{%- endmacro %}
