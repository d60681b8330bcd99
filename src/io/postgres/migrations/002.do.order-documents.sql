-- The read model of the embedded default: what finds an order. One row per order, at the order's version;
-- an order's fields are read from `orders`, so nothing is kept twice. It can be built again from there.
CREATE TABLE order_documents (
  order_id uuid PRIMARY KEY,
  -- A row gives way to a newer version alone.
  version integer NOT NULL CHECK (version >= 1),
  created_at timestamptz NOT NULL,
  -- Words of free text, and one word per filter.
  words tsvector NOT NULL
);
-- Kept in the row where it fits: a search reads it of thousands of rows.
ALTER TABLE order_documents ALTER COLUMN words SET STORAGE MAIN;
-- For the newest orders, and for pages.
CREATE INDEX order_documents_by_time ON order_documents (created_at DESC, order_id DESC);
-- For what is rare. New words wait in a short list, which every search reads through.
CREATE INDEX order_documents_by_words ON order_documents USING gin (words) WITH (gin_pending_list_limit = 512);
