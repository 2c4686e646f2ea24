"""The reference file into PostgreSQL, step by step, with your own Redis client, connection and commit.

trunkline db migrate --database-url "$DATABASE_URL"      # once
python examples/first_pipeline.py
"""

import os
from pathlib import Path

import psycopg2
import redis

import trunkline

cache = redis.Redis.from_url(os.environ["REDIS_URL"])
connection = psycopg2.connect(os.environ["DATABASE_URL"])
layout = trunkline.load_layout("customer_call_logs")

text = trunkline.extract(Path(__file__).with_name("customer_call_logs.csv"), layout, redis=cache)
calls, rejects = trunkline.transform(text, layout, redis=cache)
books = trunkline.load(calls, connection, layout, rejects)
connection.commit()  # until here, nobody else sees calls or books

print(calls.groupby("customer_id")[["duration_s", "cost"]].sum())
cost, duration_s = books.totals.cost["USD"], books.totals.duration_s
print(f"{books.status}: {books.loaded} of {books.read} records, {cost:.2f} USD for {duration_s} s")
