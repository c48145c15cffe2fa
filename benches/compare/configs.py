"""The configurations: what the upstream answers, and each peer as a plain reverse proxy in front of it.

Every peer gets one worker, connections that are kept on both sides, and no access log. Pure: text out of ports and
paths; knows nothing of processes.
"""

import json
import os
import pwd

# What the requests ask for; all of it passes the shipped policies. The token has all but the last two already.
SCOPES = [
    "metrics.read", "metrics.ingest", "entities.read", "events.read", "events.ingest", "logs.read",
    "logs.ingest", "networkZones.read", "oneAgents.read", "hub.read", "geographicRegions.read", "auditLogs.read",
]
CURRENT = SCOPES[:10]


def nginx_frame(folder, servers, http=""):
    # As root the worker would become another user, who may not read the folder.
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    temporary = "\n".join(
        f"    {name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    tcp_nodelay on;
{temporary}
{http}
{servers}
}}
"""


def upstream(folder, port):
    """Answers at once: 1 KiB, 1 MiB, a token for who looks one up, and 204 for who changes one."""
    token = json.dumps({
        "id": "$id", "name": "payments-prod-ci", "userId": "john.smith", "revoked": False, "created": 1554076800000,
        "lastUse": 1554354000000, "personalAccessToken": False, "scopes": CURRENT,
    })
    return nginx_frame(folder, f"""
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        default_type application/json;
        location = /1k {{ return 200 "{'k' * 1024}"; }}
        location = /1m {{ root {folder}; }}
        location ~ ^/api/v1/tokens/(?<id>[0-9a-f-]+)$ {{
            if ($request_method = PUT) {{ return 204; }}
            return 200 '{token}';
        }}
        location / {{ return 404; }}
    }}""")


def nginx(folder, port, upstream_port, tls):
    listen = f"listen 127.0.0.1:{port} backlog=4096"
    if tls:
        listen += f" ssl http2; ssl_certificate {tls['certificate']}; ssl_certificate_key {tls['key']}"
    return nginx_frame(folder, f"""
    upstream backend {{
        server 127.0.0.1:{upstream_port};
        keepalive 128;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    server {{
        {listen};
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
        }}
    }}""")


def haproxy(port, upstream_port, tls):
    bind = f"bind 127.0.0.1:{port}"
    if tls:
        bind += f" ssl crt {tls['both']} alpn h2,http/1.1"
    return f"""
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    http-reuse always
frontend front
    {bind}
    default_backend back
backend back
    server upstream 127.0.0.1:{upstream_port}
"""


def envoy(port, upstream_port, tls, opa_port=None):
    kind = "type.googleapis.com/envoy.extensions."
    router = {"name": "router", "typed_config": {"@type": kind + "filters.http.router.v3.Router"}}
    filters = [router]
    clusters = [_cluster("upstream", upstream_port)]
    if opa_port:
        filters.insert(0, {"name": "ext_authz", "typed_config": {
            "@type": kind + "filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            # Whoever waits for OPA's turn on the shared core must not be refused for it.
            "grpc_service": {"envoy_grpc": {"cluster_name": "opa"}, "timeout": "10s"},
            "with_request_body": {"max_request_bytes": 65536, "allow_partial_message": False},
            "failure_mode_allow": False,
        }})
        clusters.append(_cluster("opa", opa_port) | {"typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": kind + "upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }}})
    chain = {"filters": [{"name": "http", "typed_config": {
        "@type": kind + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "60s"}}]}]},
    }}]}
    if tls:
        chain["transport_socket"] = {"name": "tls", "typed_config": {
            "@type": kind + "transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [{
                "certificate_chain": {"filename": tls["certificate"]}, "private_key": {"filename": tls["key"]}}]},
        }}
    return json.dumps({"static_resources": {
        "listeners": [{"name": "front", "address": _address(port), "filter_chains": [chain]}],
        "clusters": clusters,
    }})


def _cluster(name, port):
    endpoint = {"endpoint": {"address": _address(port)}}
    return {"name": name, "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}}


def _address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def opa(port):
    return json.dumps({
        "plugins": {"envoy_ext_authz_grpc": {"addr": f"127.0.0.1:{port}", "path": "envoy/authz/allow"}},
        "decision_logs": {"console": True},
    })


def dtgate(settings):
    """`settings` replaces the values of single keys, by their dotted names."""
    lines = []
    for key, value in settings.items():
        lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"
