#!/usr/bin/env bash
# Makes the seeds of the target pkcs12 with OpenSSL 3: small keys, one round of key derivation, so that a run is quick.
set -euo pipefail
cd "$(dirname "$0")/seeds/pkcs12"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1.key"; }
key ca && key client
openssl req -x509 -new -key "$work/ca.key" -subj "/CN=A" -days 36500 -out "$work/ca.crt"
openssl req -new -key "$work/client.key" -subj "/CN=192.0.2.7" -out "$work/client.csr"
openssl x509 -req -in "$work/client.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -days 36500 -out "$work/client.crt" 2>/dev/null

export12() {
  local name=$1 password=$2
  shift 2
  openssl pkcs12 -export -inkey "$work/client.key" -in "$work/client.crt" -certfile "$work/ca.crt" \
    -iter 1 -passout "pass:$password" -out "$name" "$@"
}
# Without MAC and encryption every mutation gets to the contents.
export12 clear "" -nomac -keypbe NONE -certpbe NONE
export12 clear-mac secret -maciter -keypbe NONE -certpbe NONE
export12 modern secret
export12 modern-blank ""
export12 nomac secret -nomac
export12 3des secret -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1
export12 rc2-nomac "" -legacy -nomac -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-RC2-40
