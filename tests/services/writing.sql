-- What the writer does, chosen and done by the server itself: a round trip a transaction, and the
-- text of its statements, would cost more than the transactions.
--
-- Of the ids of a table some are taken evenly among all there ever were, and some among the first.

CREATE FUNCTION some_number(newest int) RETURNS int LANGUAGE sql AS $$
  SELECT (random() * CASE WHEN random() < 0.5 THEN newest ELSE least(newest, 20000) END)::int
$$;

CREATE FUNCTION some_a(newest int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  wanted int := some_number(newest);
  found_id int;
BEGIN
  SELECT id INTO found_id FROM accounts_a WHERE id >= wanted ORDER BY id LIMIT 1;
  IF NOT FOUND THEN
    SELECT id INTO found_id FROM accounts_a ORDER BY id DESC LIMIT 1;
  END IF;
  RETURN found_id;
END $$;

CREATE FUNCTION some_b(newest int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  wanted int := some_number(newest);
  found_id int;
BEGIN
  SELECT id INTO found_id FROM accounts_b WHERE id >= wanted ORDER BY id LIMIT 1;
  IF NOT FOUND THEN
    SELECT id INTO found_id FROM accounts_b ORDER BY id DESC LIMIT 1;
  END IF;
  RETURN found_id;
END $$;

-- NULL where there is none.
CREATE FUNCTION some_thing(newest int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  wanted int := some_number(newest);
  found_id bigint;
BEGIN
  SELECT id INTO found_id FROM things WHERE id >= wanted AND id < 500000000 ORDER BY id LIMIT 1;
  RETURN found_id;
END $$;

-- One row's version rises by one.
CREATE FUNCTION transfer(newest int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  a int := some_a(newest);
  b int := some_b(newest);
  amount int := 1 + random() * 49;
BEGIN
  IF random() < 0.5 THEN
    UPDATE accounts_a SET balance = balance - amount, version = version + 1 WHERE id = a;
    UPDATE accounts_b SET balance = balance + amount WHERE id = b;
  ELSE
    UPDATE accounts_b SET balance = balance - amount, version = version + 1 WHERE id = b;
    UPDATE accounts_a SET balance = balance + amount WHERE id = a;
  END IF;
  RETURN 1;
END $$;

-- Nothing of it comes to be, nor of what was let go within it.
CREATE FUNCTION undo(newest int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  a int := some_a(newest);
  b int := some_b(newest);
BEGIN
  UPDATE accounts_a SET balance = 0, version = version + 1000 WHERE id = a;
  UPDATE accounts_b SET balance = 0, version = version + 1000 WHERE id = b;
  IF random() < 0.5 THEN
    BEGIN
      DELETE FROM things WHERE id < 50;
    EXCEPTION WHEN division_by_zero THEN
      RAISE;
    END;
  END IF;
  RAISE EXCEPTION USING ERRCODE = 'UNDO0';
EXCEPTION WHEN SQLSTATE 'UNDO0' THEN
  RETURN 0;
END $$;

-- A key that changes, for good or there and back, an account that is opened, or one that is closed.
CREATE FUNCTION rearrange(newest int, fresh int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  what int := random() * 8 - 0.5;
  a int := some_a(newest);
  b int := some_b(newest);
  heir int;
BEGIN
  CASE what
    WHEN 0 THEN
      INSERT INTO accounts_a VALUES (fresh, 0, 0);
    WHEN 1 THEN
      INSERT INTO accounts_b VALUES (fresh, 0, 0);
    WHEN 2 THEN
      heir := some_a(newest);
      IF heir = a THEN
        RETURN 0;
      END IF;
      UPDATE accounts_a SET balance = accounts_a.balance + o.balance,
        version = accounts_a.version + o.version
        FROM accounts_a o WHERE accounts_a.id = heir AND o.id = a;
      DELETE FROM accounts_a WHERE id = a;
    WHEN 3 THEN
      heir := some_b(newest);
      IF heir = b THEN
        RETURN 0;
      END IF;
      UPDATE accounts_b SET balance = accounts_b.balance + o.balance,
        version = accounts_b.version + o.version
        FROM accounts_b o WHERE accounts_b.id = heir AND o.id = b;
      DELETE FROM accounts_b WHERE id = b;
    WHEN 4 THEN
      UPDATE accounts_a SET id = fresh WHERE id = a;
      UPDATE accounts_a SET id = a WHERE id = fresh;
    WHEN 5 THEN
      UPDATE accounts_b SET id = fresh WHERE id = b;
      UPDATE accounts_b SET id = b WHERE id = fresh;
    WHEN 6 THEN
      UPDATE accounts_a SET id = fresh WHERE id = a;
    ELSE
      UPDATE accounts_b SET id = fresh WHERE id = b;
  END CASE;
  RETURN 0;
END $$;

CREATE FUNCTION change_thing(newest int, fresh int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  what int := random() * 4 - 0.5;
  old bigint := some_thing(newest);
BEGIN
  IF old IS NULL OR what = 0 THEN
    INSERT INTO things VALUES (
      fresh,
      CASE
        WHEN fresh % 64 = 0 THEN repeat('long', 1000)
        ELSE (ARRAY[NULL, '', 'ä' || fresh])[1 + fresh % 3]
      END,
      fresh % 1000 / 3.0,
      NULL
    );
  ELSIF what = 1 THEN
    UPDATE things SET amount = amount + 0.01, flag = NOT flag WHERE id = old;
  ELSIF what = 2 THEN
    UPDATE things SET id = fresh, name = name || '+' WHERE id = old;
  ELSE
    DELETE FROM things WHERE id = old;
  END IF;
  RETURN 0;
END $$;

-- Many rows at once: made, changed, taken away; or everybody pays, and every version rises.
CREATE FUNCTION write_large(size int, what int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  heir int;
  risen int := 0;
BEGIN
  CASE what % 4
    WHEN 0 THEN
      DELETE FROM things WHERE id >= 1000000000;
      INSERT INTO things SELECT 1000000000 + g, 'g' || g, g, true FROM generate_series(1, size) g;
    WHEN 1 THEN
      UPDATE accounts_a SET balance = balance - 1, version = version + 1;
      GET DIAGNOSTICS risen = ROW_COUNT;
      SELECT id INTO heir FROM accounts_b ORDER BY id LIMIT 1;
      UPDATE accounts_b SET balance = balance + risen WHERE id = heir;
    WHEN 2 THEN
      UPDATE things SET amount = -amount WHERE id >= 1000000000;
    ELSE
      DELETE FROM things WHERE id >= 1000000000;
  END CASE;
  RETURN risen;
END $$;

-- Transactions for so many seconds, so many a second; the first is one of `large` rows, unless 0.
CREATE PROCEDURE keep_busy(seconds float8, rate float8, large int, what int) LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
  elapsed float8 := 0;
  done int := 0;
  newest int;
  summed bigint;
  risen int;
BEGIN
  SELECT greatest(
    (SELECT max(id) FROM accounts_a), (SELECT max(id) FROM accounts_b),
    (SELECT max(id) FROM things WHERE id < 500000000)
  ) INTO newest;
  SELECT version INTO summed FROM committed ORDER BY n DESC LIMIT 1;
  WHILE elapsed < seconds LOOP
    IF random() < 0.03 THEN
      risen := transfer(newest) + transfer(newest);
      ROLLBACK;
    END IF;
    IF large > 0 THEN
      summed := summed + write_large(large, what);
      large := 0;
    END IF;
    FOR i IN 1 .. CASE WHEN random() < 0.8 THEN 1 ELSE 2 + (random() * 3)::int END LOOP
      summed := summed + transfer(newest);
    END LOOP;
    IF random() < 0.1 THEN
      risen := undo(newest);
    END IF;
    IF random() < 0.05 THEN
      -- A part that is let go and stays.
      BEGIN
        summed := summed + transfer(newest);
      EXCEPTION WHEN division_by_zero THEN
        RAISE;
      END;
    END IF;
    IF random() < 0.15 THEN
      newest := newest + 1;
      risen := rearrange(newest - 1, newest);
    END IF;
    IF random() < 0.4 THEN
      FOR i IN 1 .. 1 + (random() * 3)::int LOOP
        newest := newest + 1;
        risen := change_thing(newest - 1, newest);
      END LOOP;
    END IF;
    INSERT INTO committed (version) VALUES (summed);
    COMMIT;
    done := done + 1;
    elapsed := extract(epoch FROM clock_timestamp() - began);
    IF done / rate - elapsed > 0.002 THEN
      PERFORM pg_sleep(done / rate - elapsed);
    END IF;
  END LOOP;
END $$;

-- Transactions that stay open while others come and go, some of them for nothing.
CREATE SEQUENCE lingering START 500000000;

CREATE PROCEDURE linger(seconds float8) LANGUAGE plpgsql AS $$
DECLARE
  ends timestamptz := clock_timestamp() + make_interval(secs => seconds);
BEGIN
  WHILE clock_timestamp() < ends LOOP
    FOR i IN 1 .. 4 LOOP
      INSERT INTO things VALUES (nextval('lingering'), 'slow', i, false);
      UPDATE things SET amount = amount + 1
        WHERE id >= 500000000 AND id < 1000000000 AND id % 5 = i;
      DELETE FROM things WHERE id >= 500000000 AND id < 1000000000 AND id % 7 = i;
      PERFORM pg_sleep(power(random(), 3) * 0.4);
    END LOOP;
    IF random() < 0.3 THEN
      ROLLBACK;
    ELSE
      COMMIT;
    END IF;
  END LOOP;
END $$;
