// What the lists of the API share: the size of a page, and numbers among the parameters.
//
// Promises: a parameter that is no number is refused by name, by its schema.

// What is no number stays text, and its schema says so.
export const readNumbers =
  (...names: readonly string[]) =>
  async (request: { query: unknown }): Promise<void> => {
    const query = request.query as Record<string, unknown>;
    for (const name of names) {
      const given = query[name];
      if (typeof given === 'string' && /^\d{1,16}$/.test(given)) query[name] = Number(given);
    }
  };

export const readLimit = readNumbers('limit');
