"""Sensors: when something is to be done; each looks, decides, then asks or says why not."""
