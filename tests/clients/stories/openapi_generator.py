"""The client that openapi-generator makes for Python, against a running Orderly."""

import datetime
import os
import time
import uuid

import openapi_client
from openapi_client import AnalyticsApi, DeadLettersApi, OperationsApi, OrdersApi, PlaceOrderRequest
from openapi_client.exceptions import ConflictException

client = openapi_client.ApiClient(openapi_client.Configuration(host=os.environ["ORDERLY_URL"]))
orders = OrdersApi(client)
letters = DeadLettersApi(client)


def ended(order_id, status):
    while (order := orders.read_order(order_id)).status != status:
        time.sleep(0.02)
    return order


key = str(uuid.uuid4())
request = PlaceOrderRequest(
    customerEmail="ada@customers.invalid",
    userId="u-1",
    currency="EUR",
    items=[{"sku": "lamp", "quantity": 2, "unitPrice": 1250}],
)
order = orders.place_order(request, idempotency_key=key)
assert order.reason is None and order.user_id == "u-1" and order.amount == 2500, order
assert isinstance(order.created_at, datetime.datetime)
again = orders.place_order_with_http_info(request, idempotency_key=key)
assert again.data.id == order.id and again.headers["idempotent-replayed"] == "true", again.headers

ended(order.id, "PROCESSED")
assert orders.read_timeline(order.id).items[0].type == "OrderCreatedV1"
try:
    orders.cancel_order(order.id)
    raise AssertionError("a processed order was canceled")
except ConflictException as refusal:
    assert refusal.data.code == "order-already-processed", refusal.data

declined = orders.place_order(PlaceOrderRequest(userId="u-2", amount=500, paymentScenario="failure"))
assert ended(declined.id, "CANCELED").reason.code == "payment-declined"
failed = orders.place_order(PlaceOrderRequest(userId="u-3", productType="Phone", paymentScenario="fatal"))
ended(failed.id, "FAILED")
assert any(letter.order_id == failed.id for letter in letters.list_dead_letters(consumer="payment", limit=100).items)
assert letters.reprocess_order(failed.id).id == failed.id

assert len(orders.find_orders(var_from=datetime.datetime.fromtimestamp(0, datetime.UTC), limit=1).items) <= 1
assert isinstance(AnalyticsApi(client).count_orders(var_from=datetime.date.today()).items, list)
assert OperationsApi(client).readiness().status == "ok"
