// Ids that sort by time, as bounds.
//
// Promises: what was made before a moment has a lower id than `idBefore` of it. Relies on ids being UUIDv7, which
// begins with the milliseconds since 1970 in 48 bits (RFC 9562).

export function idBefore(time: Date): string {
  const hex = time.getTime().toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}
