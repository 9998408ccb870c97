-- A shop that trades: what happens in it is chosen and done by the server itself.
--
-- Payments come in the order of their time but for less than five seconds; an hour of the shop
-- passes in a minute.

CREATE TABLE products (product_id bigint PRIMARY KEY, name text, price numeric(10, 2));
CREATE TABLE orders (
  order_id bigint PRIMARY KEY, customer_id bigint, product_id bigint, quantity int, status text,
  updated_at timestamp(3)
);
CREATE TABLE payments (
  payment_id bigint PRIMARY KEY, order_id bigint, amount numeric(10, 2), paid_at timestamp(3)
);
ALTER TABLE products REPLICA IDENTITY FULL;
ALTER TABLE orders REPLICA IDENTITY FULL;
ALTER TABLE payments REPLICA IDENTITY FULL;

CREATE TABLE shop (opened timestamptz);
INSERT INTO shop VALUES (clock_timestamp());
CREATE SEQUENCE traded;

CREATE FUNCTION shop_time(opened timestamptz) RETURNS timestamp LANGUAGE sql AS $$
  SELECT timestamp '2026-01-01 10:00:00' + (clock_timestamp() - opened) * 60
$$;

-- Of all orders, or of the newest.
CREATE FUNCTION some_order(newest bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  wanted bigint := CASE
    WHEN random() < 0.5 THEN random() * newest ELSE newest - power(random(), 3) * least(newest, 2000)
  END;
  found_id bigint;
BEGIN
  SELECT order_id INTO found_id FROM orders WHERE order_id >= wanted ORDER BY order_id LIMIT 1;
  IF NOT FOUND THEN
    SELECT order_id INTO found_id FROM orders ORDER BY order_id DESC LIMIT 1;
  END IF;
  RETURN found_id;
END $$;

-- Some of the products that are asked for are not there, yet or any more.
CREATE FUNCTION some_product() RETURNS bigint LANGUAGE sql AS $$
  SELECT 1 + floor(random() * 1010)::bigint
$$;

CREATE FUNCTION product_name(id bigint) RETURNS text LANGUAGE sql AS $$
  SELECT CASE floor(random() * 20)::int
    WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'Ä''"' || id || E'\n' ELSE 'thing ' || id
  END
$$;

CREATE FUNCTION place_order(id bigint) RETURNS void LANGUAGE sql AS $$
  INSERT INTO orders VALUES (
    id, floor(random() * 5000), some_product(),
    CASE WHEN random() < 0.01 THEN NULL ELSE 1 + floor(random() * 9)::int END,
    'new', clock_timestamp()
  )
$$;

CREATE FUNCTION fill_shop(number int) RETURNS void LANGUAGE sql AS $$
  INSERT INTO products
    SELECT g, product_name(g), (1 + random() * 90000)::numeric(10, 2) FROM generate_series(1, 1000) g;
  SELECT place_order(g) FROM generate_series(1, number) g;
  INSERT INTO payments
    SELECT g, g, g % 9999 / 7.0, timestamp '2026-01-01 10:00:00' - random() * interval '9 minutes'
    FROM generate_series(1, number) g
$$;

CREATE FUNCTION change_product(what int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  id bigint := some_product();
BEGIN
  CASE
    WHEN what < 14 THEN
      UPDATE products SET price = least(90000, price * (0.9 + random() * 0.21)) + 0.01
        WHERE product_id = id;
    WHEN what < 17 THEN
      UPDATE products SET name = product_name(id) WHERE product_id = id;
    WHEN what < 18 THEN
      DELETE FROM products WHERE product_id = id;
    ELSE
      INSERT INTO products VALUES (id, product_name(id), (1 + random() * 900)::numeric(10, 2))
        ON CONFLICT DO NOTHING;
  END CASE;
END $$;

CREATE FUNCTION change_order(id bigint, what float8, fresh bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  CASE
    WHEN what < 0.4 THEN
      UPDATE orders SET updated_at = clock_timestamp(), status =
        CASE status WHEN 'new' THEN 'paid' WHEN 'paid' THEN 'sent' ELSE 'given up' END
        WHERE order_id = id;
    WHEN what < 0.6 THEN
      UPDATE orders SET quantity = 1 + floor(random() * 9)::int, updated_at = clock_timestamp()
        WHERE order_id = id;
    WHEN what < 0.7 THEN
      UPDATE orders SET product_id = some_product() WHERE order_id = id;
    WHEN what < 0.72 THEN
      UPDATE orders SET order_id = fresh WHERE order_id = id;
    WHEN what < 0.78 THEN
      -- Nothing that anybody can see.
      UPDATE orders SET customer_id = customer_id + 1 WHERE order_id = id;
    WHEN what < 0.8 THEN
      DELETE FROM orders WHERE order_id = id;
      PERFORM place_order(id);
    ELSE
      DELETE FROM orders WHERE order_id = id;
  END CASE;
END $$;

-- Transactions for so many seconds, so many a second, as they have been for others already. What
-- was too much for a busy machine is made up for, but for that of more than a second.
CREATE PROCEDURE trade(seconds float8, rate float8, already float8) LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
  elapsed float8 := 0;
  done float8 := greatest(-rate, (SELECT last_value FROM traded) - already * rate);
  since timestamptz := (SELECT opened FROM shop);
  newest bigint := (SELECT max(order_id) FROM orders);
  last_payment bigint := (SELECT max(payment_id) FROM payments);
  what float8;
BEGIN
  WHILE elapsed < seconds LOOP
    what := random();
    IF what < 0.03 THEN
      PERFORM change_order(some_order(newest), random(), newest + 1);
      PERFORM change_product(floor(random() * 20)::int);
      ROLLBACK;
    END IF;
    IF what < 0.33 THEN
      FOR i IN 1 .. CASE WHEN random() < 0.9 THEN 1 ELSE 1 + floor(random() * 9)::int END LOOP
        newest := newest + 1;
        PERFORM place_order(newest);
      END LOOP;
    END IF;
    IF what > 0.3 AND what < 0.75 THEN
      newest := newest + 1;
      PERFORM change_order(some_order(newest - 1), random(), newest);
    END IF;
    IF what > 0.73 THEN
      FOR i IN 1 .. CASE WHEN random() < 0.8 THEN 1 ELSE 1 + floor(random() * 4)::int END LOOP
        last_payment := last_payment + 1;
        INSERT INTO payments VALUES (
          last_payment, some_order(newest),
          CASE WHEN random() < 0.99 THEN random() * 10000 END,
          shop_time(since) - random() * interval '4.99 seconds'
        );
      END LOOP;
    END IF;
    IF random() < 0.0003 THEN
      UPDATE products SET price = price + 0.01 WHERE product_id % 5 = last_payment % 5;
      UPDATE orders SET status = 'lost' WHERE order_id % 50 = last_payment % 50;
    END IF;
    IF random() < 0.015 THEN
      PERFORM change_product(floor(random() * 20)::int);
    END IF;
    PERFORM nextval('traded');
    COMMIT;
    done := done + 1;
    elapsed := extract(epoch FROM clock_timestamp() - began);
    IF done / rate - elapsed > 0.002 THEN
      PERFORM pg_sleep(done / rate - elapsed);
    END IF;
  END LOOP;
END $$;

-- The last transaction: event time behind it is known exactly.
CREATE FUNCTION close_shop() RETURNS timestamp LANGUAGE sql AS $$
  INSERT INTO payments
    SELECT max(payment_id) + 1, NULL, 1, max(paid_at) + interval '1 second' FROM payments
    RETURNING paid_at
$$;
