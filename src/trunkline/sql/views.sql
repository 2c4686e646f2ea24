-- Views that make calls of the records of a call table, by the name that a layout's `view` has for them.

-- name: view_made
-- Whether there is a relation of that name, and what its comment says of who made it.
select to_regclass(%(name)s) is not null, obj_description(to_regclass(%(name)s), 'pg_class')

-- name: sip_dialogs
-- Calls from the accounting of a SIP proxy, which writes INVITE and BYE as records of their own.
-- A dialog is known by its call id and both tags, which change places where the callee hangs up.  Its first answered
-- INVITE begins it (later ones only change it), its first BYE ends it, both maybe written more than once.  Of INVITEs
-- that nobody answered in a dialog, the last is the call; requests for a password (401, 407) are none.
create or replace view {view} with (security_invoker = true) as
with invite as (
    select
        t.*,
        t.sip_code between 200 and 299 as answered,
        least(coalesce(t.from_tag, ''), coalesce(t.to_tag, '')) as one_tag,
        greatest(coalesce(t.from_tag, ''), coalesce(t.to_tag, '')) as other_tag
    from {table} t
    where t.method = 'INVITE' and t.sip_code >= 200 and t.sip_code not in (401, 407)
), answered as (
    select distinct on (system, call_id, one_tag, other_tag) *
    from invite
    where answered
    order by system, call_id, one_tag, other_tag, logged_at, record_key
), tags as (
    select system, call_id, one_tag as tag from answered union select system, call_id, other_tag from answered
), failed as (
    select distinct on (i.system, i.call_id, i.from_tag) i.*
    from invite i
    left join tags a on a.system = i.system and a.call_id = i.call_id and a.tag = coalesce(i.from_tag, '')
    where not i.answered and a.tag is null
    order by i.system, i.call_id, i.from_tag, i.logged_at desc, i.record_key
), bye as (
    select distinct on (b.system, b.call_id, least(b.from_tag, b.to_tag), greatest(b.from_tag, b.to_tag)) b.*
    from {table} b
    where b.method = 'BYE' and b.sip_code not in (401, 407)
    order by
        b.system, b.call_id, least(b.from_tag, b.to_tag), greatest(b.from_tag, b.to_tag), b.logged_at, b.record_key
)
select
    i.system,
    i.call_id,
    i.from_tag,
    i.to_tag,
    i.logged_at as answered_at,
    b.logged_at as ended_at,
    extract(epoch from b.logged_at - i.logged_at)::numeric as duration_s,
    'answered' as disposition,
    case when b.from_tag = i.from_tag then 'caller' when b.from_tag is not null then 'callee' end as ended_by,
    i.sip_code,
    i.sip_reason,
    i.record_key as invite_key,
    b.record_key as bye_key
from answered i
left join bye b
    on b.system = i.system
    and b.call_id = i.call_id
    and least(coalesce(b.from_tag, ''), coalesce(b.to_tag, '')) = i.one_tag
    and greatest(coalesce(b.from_tag, ''), coalesce(b.to_tag, '')) = i.other_tag
    and b.logged_at >= i.logged_at
union all
select
    f.system,
    f.call_id,
    f.from_tag,
    f.to_tag,
    null,
    f.logged_at,
    0,
    case
        when f.sip_code in (486, 600) then 'busy'
        when f.sip_code in (408, 480, 603) then 'no_answer'
        when f.sip_code = 487 then 'cancelled'
        when f.sip_code = 503 then 'congestion'
        else 'failed'
    end,
    null,
    f.sip_code,
    f.sip_reason,
    f.record_key,
    null
from failed f
