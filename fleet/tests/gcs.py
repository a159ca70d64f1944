#!/usr/bin/env python3
"""A stand-in for Google Cloud Storage: objects in memory behind the XML API, as far as the fleet's program uses it.

Written from Google's reference of the XML API: PUT, GET with Range, HEAD, DELETE, listing, multipart uploads, and
x-goog-if-generation-match. It checks no credentials.

usage: gcs.py PORT
"""
import hashlib
import re
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

WHEN = ("Mon, 30 Nov 2026 00:00:00 GMT", "2026-11-30T00:00:00.000Z")
OBJECTS, UPLOADS = {}, {}
LOCK = threading.Lock()
COUNT = [0]


class Bucket(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, code, body=b"", **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def asked(self):
        """The object's name and the query."""
        found = urllib.parse.urlparse(self.path)
        name = urllib.parse.unquote(found.path).split("/", 2)[2:]
        return "".join(name), dict(urllib.parse.parse_qsl(found.query, keep_blank_values=True))

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def keep(self, name, body):
        """Writes an object, if its generation is the one that is asked for."""
        with LOCK:
            wanted, there = self.headers.get("x-goog-if-generation-match"), OBJECTS.get(name)
            if wanted is not None and int(wanted) != (there[1] if there else 0):
                return None
            COUNT[0] += 1
            OBJECTS[name] = (body, COUNT[0])
            return COUNT[0]

    def do_PUT(self):
        name, query = self.asked()
        body = self.body()
        if "uploadId" in query:
            UPLOADS[query["uploadId"]][int(query["partNumber"])] = body
            return self.say(200, ETag='"%s"' % hashlib.md5(body).hexdigest())
        written = self.keep(name, body)
        if written is None:
            return self.say(412)
        return self.say(200, ETag='"%d"' % written, x_goog_generation=written)

    def do_POST(self):
        name, query = self.asked()
        self.body()
        if "uploads" in query:
            with LOCK:
                COUNT[0] += 1
                upload = str(COUNT[0])
            UPLOADS[upload] = {}
            text = "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>" % upload
            return self.say(200, text.encode())
        parts = UPLOADS.pop(query["uploadId"])
        written = self.keep(name, b"".join(parts[n] for n in sorted(parts)))
        text = '<CompleteMultipartUploadResult><ETag>"%d"</ETag></CompleteMultipartUploadResult>' % written
        return self.say(200, text.encode(), x_goog_generation=written)

    def listing(self, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        names, folders = [], set()
        for name in sorted(OBJECTS):
            rest = name[len(prefix):]
            if not name.startswith(prefix) or name <= query.get("start-after", ""):
                continue
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                names.append(name)
        text = "".join(
            "<Contents><Key>%s</Key><Size>%d</Size><LastModified>%s</LastModified><ETag>%d</ETag></Contents>"
            % (escape(name), len(OBJECTS[name][0]), WHEN[1], OBJECTS[name][1])
            for name in names
        )
        text += "".join("<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % escape(f) for f in sorted(folders))
        self.say(200, ("<ListBucketResult>%s</ListBucketResult>" % text).encode())

    def do_GET(self):
        name, query = self.asked()
        if "list-type" in query:
            return self.listing(query)
        if name not in OBJECTS:
            return self.say(404)
        body, generation = OBJECTS[name]
        facts = {"ETag": '"%d"' % generation, "x_goog_generation": generation, "Last_Modified": WHEN[0]}
        asked = re.match(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return self.say(200, body, **facts)
        if asked[1]:
            first, last = int(asked[1]), int(asked[2] or len(body) - 1)
        else:
            first, last = len(body) - int(asked[2]), len(body) - 1
        last = min(last, len(body) - 1)
        return self.say(206, body[first:last + 1], Content_Range="bytes %d-%d/%d" % (first, last, len(body)), **facts)

    do_HEAD = do_GET

    def do_DELETE(self):
        OBJECTS.pop(self.asked()[0], None)
        self.say(204)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Bucket).serve_forever()
