// How an address of the database asks for TLS, as the driver understands it.
//
// Promises: pure; what is asked for stays the same. Source: pg-connection-string 2, where `prefer`, `require` and
// `verify-ca` are other names of `verify-full`, and cost five lines on stderr at every start.

export function withPlainTls(url: string): string {
  // With this one they mean what they mean to libpq, and nothing is said.
  if (/[?&]uselibpqcompat=true(&|$)/.test(url)) return url;
  return url.replace(/([?&]sslmode=)(?:prefer|require|verify-ca)(?=&|$)/, '$1verify-full');
}
