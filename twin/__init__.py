"""The live mirror: Sparkplug host, machine and line states, historians."""
