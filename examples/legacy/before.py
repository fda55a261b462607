"""A report on orders: reads them, adds them up, and has a sentence written about each customer."""

import csv
import io

ORDERS = "customer,item,price\nAnna,tea,4.50\nBo,pot,20.00\nAnna,cup,?\nBo,tea,4.50\n"


def read_orders(text):
    return list(csv.DictReader(io.StringIO(text)))


def price_of(order):
    return float(order["price"])


def summarise(customer, total):  # imagine a model here
    return "%s spent %.2f." % (customer, total)


def report(text):
    totals = {}
    for order in read_orders(text):
        try:
            totals[order["customer"]] = totals.get(order["customer"], 0) + price_of(order)
        except ValueError as problem:
            print("skipped:", problem)
    return [summarise(customer, total) for customer, total in sorted(totals.items())]


for line in report(ORDERS):
    print(line)
