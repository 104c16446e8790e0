"""World: a simulated upstream, a city that orders dinners."""
