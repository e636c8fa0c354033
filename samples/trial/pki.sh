#!/bin/sh
# A made-up PKI to try an installation with (docs/install.md): sh pki.sh FOLDER
#
#   interior-root.crt   our own CA: signs the seal and the certificates of our servers
#   justice-root.crt    a partner's CA: signs bruno@justice.example
#   *.crl.pem           their revocation lists, good for 30 days
#   seal.p12            the seal of interior.example (RFC 3183); password in seal.password
#   sceau, mail, border .crt and .key for TLS between the servers
#   crm                 .crt and .key of a program that hands in mail by itself
#   bruno               .crt and .key of a recipient
#
# The keys of the CAs lie beside them without a password: never trust any of it where real mail goes.
set -eu
umask 077
[ $# = 1 ] || { echo "usage: sh pki.sh FOLDER" >&2; exit 2; }
mkdir "$1"
cd "$1"

ca() { # NAME COMMON-NAME
  openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj "/O=Trial/CN=$2" \
    -keyout "$1.key" -out "$1.crt" -config /dev/stdin <<END 2>/dev/null
[req]
distinguished_name = name
x509_extensions = ca
[name]
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
}

leaf() { # NAME COMMON-NAME CA EXTENSIONS: a certificate for two years
  openssl req -newkey rsa:3072 -nodes -subj "/O=Trial/CN=$2" -keyout "$1.key" -out "$1.csr" \
    2>/dev/null
  printf '%b' "basicConstraints = critical, CA:false\nauthorityKeyIdentifier = keyid\n$4\n" |
    openssl x509 -req -in "$1.csr" -CA "$3.crt" -CAkey "$3.key" -days 730 -extfile /dev/stdin \
      -out "$1.crt" 2>/dev/null
  rm "$1.csr"
}

crl() { # CA: an empty list
  : >"$1.index"
  echo 01 >"$1.number"
  openssl ca -gencrl -crldays 30 -keyfile "$1.key" -cert "$1.crt" -out "$1.crl.pem" \
    -config /dev/stdin <<END 2>/dev/null
[ca]
default_ca = trial
[trial]
database = $1.index
crlnumber = $1.number
default_md = sha256
crl_extensions = list
[list]
authorityKeyIdentifier = keyid
END
  rm -f "$1".index* "$1".number*
}

server() { # NAME
  leaf "$1" "$1.interior.example" interior-root "subjectAltName = DNS:$1.interior.example
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = $2"
}

ca interior-root "Interior root (trial)"
ca justice-root "Justice root (trial)"
for name in sceau mail border; do server $name serverAuth; done
server crm clientAuth
leaf bruno "Bruno (trial)" justice-root "subjectAltName = email:bruno@justice.example
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = emailProtection"
leaf seal "domain-signing-authority" interior-root \
  "subjectAltName = email:domain-signing-authority@interior.example
keyUsage = critical, digitalSignature, nonRepudiation
extendedKeyUsage = emailProtection"
openssl rand -hex 16 >seal.password
openssl pkcs12 -export -in seal.crt -inkey seal.key -certfile interior-root.crt \
  -passout file:seal.password -out seal.p12
crl interior-root
crl justice-root
chmod 755 .
chmod 644 ./*.crt ./*.crl.pem
