// What the lists of the API share: the size of a page.
//
// Promises: a parameter that is no number is refused by name, by its schema.

// The one parameter that is a number. What is no number stays text, and its schema says so.
export async function readLimit(request: { query: unknown }): Promise<void> {
  const query = request.query as { limit?: unknown };
  if (typeof query.limit === 'string' && /^\d{1,9}$/.test(query.limit)) query.limit = Number(query.limit);
}
