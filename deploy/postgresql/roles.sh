#!/bin/sh
# The image runs this once, when it makes the database. The service owns its database and is no superuser; Grafana reads the documented views alone:
# on them the service lets the role monitor_reader read (docs/reference/database.md).
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv service MONITOR_DATABASE_PASSWORD
\getenv grafana GRAFANA_DATABASE_PASSWORD
CREATE ROLE monitor LOGIN PASSWORD :'service';
CREATE DATABASE monitor OWNER monitor;
REVOKE ALL ON DATABASE monitor FROM PUBLIC;
CREATE ROLE monitor_reader;
GRANT CONNECT ON DATABASE monitor TO monitor_reader;
CREATE ROLE grafana LOGIN PASSWORD :'grafana' IN ROLE monitor_reader;
SQL
