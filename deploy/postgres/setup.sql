-- Makes the databases of tekend on a PostgreSQL server (14 or later): the front's and each role's own,
-- each with a user who has no rights on the others. Run it once, as superuser:
--
--     psql -X -v ON_ERROR_STOP=1 -d postgres -f deploy/postgres/setup.sql
--
-- It may be run again: what is there stays, rights are set anew. Tables are made by the programs.
--
-- Users have no password here. On one host let the server tell them by their Unix users (pg_hba.conf and
-- pg_ident.conf beside this file). Else give each a password of its own with psql's \password, and name a
-- file with it in the database URL: ?passfile=/etc/tekend/front.pgpass.
--
-- Nobody but a superuser should have these databases: whoever owns the sam's can undo what it has
-- burnt. The audit, its witness and the fence show that (docs/decisions/0008-postgresql.md), they do not
-- prevent it. Where that matters, put the roles' databases on a server that the front's people do not run.

-- One user for each program. LOGIN and nothing else; 40 connections are five processes.
SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY['tekend_front', 'tekend_sam', 'tekend_ca', 'tekend_tsa']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 40', name)
FROM unnest(ARRAY['tekend_front', 'tekend_sam', 'tekend_ca', 'tekend_tsa']) AS name \gexec
-- Nobody may become another one.
SELECT format('REVOKE %I FROM %I', g.rolname, m.rolname)
FROM pg_auth_members JOIN pg_roles g ON g.oid = roleid JOIN pg_roles m ON m.oid = member
WHERE m.rolname IN ('tekend_front', 'tekend_sam', 'tekend_ca', 'tekend_tsa') \gexec

-- One database for each user. C: comparing bytes needs no library that an upgrade could change.
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8'' LC_COLLATE ''C'' LC_CTYPE ''C''', name, name)
FROM unnest(ARRAY['tekend_front', 'tekend_sam', 'tekend_ca', 'tekend_tsa']) AS name
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec

-- PUBLIC is everybody: by default it may connect to every database and make temporary tables there.
-- That holds for the server's other databases too, so a server of its own is best.
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', datname) FROM pg_database
WHERE datname IN ('tekend_front', 'tekend_sam', 'tekend_ca', 'tekend_tsa', 'postgres', 'template1') \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM %I', d, u)
FROM unnest(ARRAY['tekend_front', 'tekend_sam', 'tekend_ca', 'tekend_tsa']) AS d,
     unnest(ARRAY['tekend_front', 'tekend_sam', 'tekend_ca', 'tekend_tsa']) AS u WHERE d <> u \gexec

-- Whatever the server's defaults are: a commit of ours is on the disk when it is told. (The programs ask at
-- each connection and refuse a server that forgets.)
SELECT format('ALTER ROLE %I SET synchronous_commit = on', name)
FROM unnest(ARRAY['tekend_front', 'tekend_sam', 'tekend_ca', 'tekend_tsa']) AS name \gexec

-- In each database only its owner makes anything. (Before version 15 everybody could.)
\connect tekend_front
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO tekend_front;
\connect tekend_sam
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO tekend_sam;
\connect tekend_ca
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO tekend_ca;
\connect tekend_tsa
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO tekend_tsa;
