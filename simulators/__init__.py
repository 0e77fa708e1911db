"""Machines that are not there: physics, real protocol servers, faults, scenarios."""
