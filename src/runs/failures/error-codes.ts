import type { KnownReason } from "./kinds.ts";

/** Codes of errors (`error.code`), by what they mean. Where no other source stands, it is Node's and libuv's errors. */
const codes: Readonly<Partial<Record<KnownReason, readonly string[]>>> = {
  CONNECTION_REFUSED: ["ECONNREFUSED"],
  CONNECTION_LOST: [
    ...["ECONNRESET", "ECONNABORTED", "EPIPE", "ENOTCONN", "ESHUTDOWN", "ENETRESET"],
    ...["ERR_STREAM_PREMATURE_CLOSE", "ERR_SOCKET_CLOSED", "ERR_SOCKET_CLOSED_BEFORE_CONNECTION"],
    ...["ERR_HTTP2_GOAWAY_SESSION", "ERR_HTTP2_INVALID_SESSION", "ERR_HTTP2_PING_CANCEL", "ERR_HTTP2_STREAM_CANCEL"],
    ...["ERR_HTTP2_SESSION_ERROR", "ERR_HTTP2_SOCKET_UNBOUND", "ERR_HTTP2_INVALID_STREAM"],
    // undici
    ...["UND_ERR_SOCKET", "UND_ERR_CLOSED", "UND_ERR_DESTROYED"],
  ],
  HOST_UNREACHABLE: ["EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN", "EADDRNOTAVAIL"],
  // c-ares: dns.resolve*()
  HOST_NOT_FOUND: ["ENOTFOUND", "ENODATA", "ENONAME", "EAI_NONAME", "EAI_NODATA"],
  NAME_LOOKUP_FAILED: [
    "EAI_AGAIN",
    "EAI_FAIL",
    "ESERVFAIL",
    "EFORMERR",
    "EREFUSED",
    "EBADRESP",
    "EADDRGETNETWORKPARAMS",
  ],
  TIMEOUT: [
    ...["ETIMEDOUT", "ETIMEOUT", "ERR_SOCKET_CONNECTION_TIMEOUT", "ERR_TLS_HANDSHAKE_TIMEOUT"],
    // undici
    ...["UND_ERR_CONNECT_TIMEOUT", "UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"],
    // request, and axios after it
    ...["ESOCKETTIMEDOUT"],
  ],
  TLS_FAILED: [
    ...["EPROTO", "ERR_TLS_INVALID_PROTOCOL_VERSION", "ERR_TLS_ALPN_CALLBACK_INVALID_RESULT", "ERR_TLS_DH_PARAM_SIZE"],
    ...["ERR_TLS_REQUIRED_SERVER_NAME", "ERR_TLS_RENEGOTIATION_DISABLED", "UND_ERR_PRX_TLS"],
  ],
  CERTIFICATE_REJECTED: [
    // OpenSSL, X509_verify_cert_error_string: as Node's TLS sockets name them.
    ...["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID", "CERT_REVOKED", "CERT_UNTRUSTED", "CERT_REJECTED"],
    ...["CERT_SIGNATURE_FAILURE", "CERT_CHAIN_TOO_LONG", "DEPTH_ZERO_SELF_SIGNED_CERT", "SELF_SIGNED_CERT_IN_CHAIN"],
    ...["UNABLE_TO_GET_ISSUER_CERT", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
    ...["UNABLE_TO_GET_CRL", "CRL_HAS_EXPIRED", "INVALID_CA", "INVALID_PURPOSE", "PATH_LENGTH_EXCEEDED"],
    ...["HOSTNAME_MISMATCH", "ERR_TLS_CERT_ALTNAME_INVALID", "ERR_TLS_CERT_ALTNAME_FORMAT"],
  ],
  PROTOCOL_ERROR: [
    ...["ERR_HTTP2_ERROR", "ERR_HTTP2_TOO_MANY_INVALID_FRAMES", "ERR_HTTP2_HEADER_SINGLE_VALUE"],
    // undici
    ...["UND_ERR_HEADERS_OVERFLOW", "UND_ERR_RES_CONTENT_LENGTH_MISMATCH", "UND_ERR_RES_EXCEEDED_MAX_SIZE"],
  ],
  ADDRESS_IN_USE: ["EADDRINUSE"],
  OUT_OF_MEMORY: [
    ...["ENOMEM", "ENOBUFS", "EAI_MEMORY", "ERR_WORKER_OUT_OF_MEMORY", "ERR_MEMORY_ALLOCATION_FAILED", "Z_MEM_ERROR"],
  ],
  DISK_FULL: ["ENOSPC", "EDQUOT"],
  TOO_MANY_FILES: ["EMFILE", "ENFILE"],
  IO_FAILED: ["EIO", "ENXIO", "ENODEV", "ESTALE", "EREMOTEIO"],
  RESOURCE_BUSY: ["EBUSY", "EAGAIN", "EWOULDBLOCK", "ETXTBSY", "EDEADLK", "ENOLCK"],
  FILE_DENIED: ["EACCES", "EPERM", "EROFS", "ERR_ACCESS_DENIED"],
  FILE_NOT_FOUND: ["ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "ENAMETOOLONG"],
  PROCESS_KILLED: ["ERR_WORKER_INIT_FAILED", "ERR_IPC_CHANNEL_CLOSED"],
  TOO_LARGE: [
    ...[
      "E2BIG",
      "EFBIG",
      "EMSGSIZE",
      "EOVERFLOW",
      "ERR_STRING_TOO_LONG",
      "ERR_BUFFER_TOO_LARGE",
      "ERR_FS_FILE_TOO_LARGE",
    ],
    ...["ERR_CHILD_PROCESS_STDIO_MAXBUFFER", "ERR_HTTP_CONTENT_LENGTH_MISMATCH"],
    // Fastify
    "FST_ERR_CTP_BODY_TOO_LARGE",
  ],
  // The last is axios's.
  ABORTED: ["ABORT_ERR", "ECANCELED", "UND_ERR_ABORTED", "ERR_CANCELED"],
  UNDECODABLE: ["ERR_ENCODING_INVALID_ENCODED_DATA"],
  DAMAGED_DATA: ["Z_DATA_ERROR", "Z_BUF_ERROR", "Z_STREAM_ERROR"],
  PROGRAM_ERROR: ["ERR_ASSERTION", "ERR_METHOD_NOT_IMPLEMENTED", "ERR_MODULE_NOT_FOUND", "MODULE_NOT_FOUND"],
};

const reasons: ReadonlyMap<string, KnownReason> = new Map(
  Object.entries(codes).flatMap(([reason, names]) => names.map((name) => [name, reason as KnownReason] as const)),
);

/** Families of codes, each too large to list. */
const families: readonly (readonly [RegExp, KnownReason])[] = [
  // OpenSSL's own errors.
  [/^ERR_(SSL|OSSL)_/, "TLS_FAILED"],
  // llhttp, Node's HTTP/1.1 parser.
  [/^HPE_/, "PROTOCOL_ERROR"],
  // Brotli, as node:zlib names its errors.
  [/^ERR__ERROR_FORMAT/, "DAMAGED_DATA"],
  // What Node says of arguments.
  [/^ERR_(INVALID|MISSING|OUT_OF_RANGE|UNKNOWN|UNSUPPORTED)/, "PROGRAM_ERROR"],
];

/** What a code means, if it is known. */
export function reasonOfErrorCode(code: string): KnownReason | undefined {
  return reasons.get(code) ?? families.find(([pattern]) => pattern.test(code))?.[1];
}
