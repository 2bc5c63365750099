/* taylorfit.h: atomic neural-network potentials of taylorfit and ænet for programs in C, C++ and Fortran.
 *
 * Link with -ltaylorfit.  That library holds no engine: at the first call it opens the build for this processor that
 * lies beside it (libtaylorfit_base, _v3, _v4; the environment variable TAYLORFIT_CPU = 1, 3 or 4 asks for a lower one).
 * Make that first call before other threads run.
 *
 * Units: Å, eV, eV/Å.  Arrays are C-ordered, written here with their shapes; n_atoms counts centres and ghosts.
 * Ownership: the caller owns all arrays, the library a potential until tf_potential_free.  Nothing is kept of
 * arrays after a call.  Threads: a loaded potential is never changed, so any number of threads may use it.
 * Errors: functions that can fail return 0 or a code (TF_ERROR_…), and write one line of text; no function stops the program.
 */
#ifndef TAYLORFIT_H
#define TAYLORFIT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes when programs have to be compiled again. */
#define TF_API_VERSION 1
#define TF_MESSAGE_LENGTH 512

enum {
    TF_ERROR_SIZE = 1,     /* a size or a number of threads that makes no sense */
    TF_ERROR_VALUE = 2,    /* a value out of range: an atom, a type, a position */
    TF_ERROR_GEOMETRY = 3, /* atoms coincide */
    TF_ERROR_SPECIES = 4,  /* an atom the potential cannot handle */
    TF_ERROR_MEMORY = 5,   /* no memory */
    TF_ERROR_FILE = 6,     /* a file that cannot be read, or is no potential */
    TF_ERROR_LIBRARY = 7,  /* no build of the engine beside this library */
    TF_STOPPED = 8         /* the call was asked to stop; its results are incomplete */
};

typedef struct tf_error {
    int code;                        /* 0: no error */
    char message[TF_MESSAGE_LENGTH]; /* ends with 0 */
} tf_error;

/* A potential for all its species, or the members of a committee that share their descriptors. */
typedef struct tf_potential tf_potential;

/* Atoms with a full neighbour list (each pair in the lists of both atoms), in the form LAMMPS has it. */
typedef struct tf_atoms {
    int n_atoms;                   /* centres and ghosts */
    int n_centres;                 /* length of centre */
    int n_types;                   /* largest type */
    int mask;                      /* bits of a neighbour's number that count: NEIGHMASK of LAMMPS, or -1 */
    const double *position;        /* [n_atoms][3] Å */
    const int *type;               /* [n_atoms] from 1 */
    const int *species_of_type;    /* [n_types + 1] by type (the first is not used): place in tf_potential_species, from 0;
                                      -1: atoms of this type are neither centres nor neighbours (NULL in LAMMPS) */
    const int *centre;             /* [n_centres] atoms, from 0, whose energies are wanted (ilist) */
    const int *n_neighbours;       /* [n_atoms] by atom (numneigh); only those of centres are looked at */
    const int *const *neighbours;  /* [n_atoms][n_neighbours] by atom (firstneigh): atoms from 0, ghosts for images.  All
                                      within tf_potential_cutoff at least; those beyond, in the skin, are dropped */
} tf_atoms;

/* Results.  NULL where something is not wanted.  Energies, forces and virials are ADDED to what the arrays hold, as pair
 * styles want; excess and component are set.  Of a committee, those without "member" are means. */
typedef struct tf_results {
    double *energy;          /* [1] of all centres, atomic reference energies included */
    double *atom_energy;     /* [n_atoms] */
    double *force;           /* [n_atoms][3]; what acts on ghosts has to be added to the atoms they are images of */
    double *virial;          /* [6] -dE/dε: xx, yy, zz, xy, xz, yz */
    double *atom_virial;     /* [n_atoms][6] of each atom, ghosts too; they add up to virial */
    double *centroid_virial; /* [n_atoms][9] the same, xx, yy, zz, xy, xz, yz, yx, zx, zy: W_j = -Σ_i r_ij ⊗ ∂E_i/∂r_ij, with
                                r_ij from i to j; the heat current is Σ_j W_j v_j (Fan et al., PRB 92, 094301, 2015) */
    double *member_energy;      /* [n_members] */
    double *member_atom_energy; /* [n_members][n_atoms] */
    double *member_force;       /* [n_members][n_atoms][3] */
    double *excess;             /* [n_atoms] of centres: how far the descriptor is outside the range of the training data,
                                   in standard deviations of the component that is furthest; negative inside */
    int *component;             /* [n_atoms] of centres: which component that is, from 0.  Wanted together with excess */
} tf_results;

/* Version of taylorfit, e.g. "0.1.0". */
const char *tf_version(void);

/* The build in use, e.g. "v4"; NULL if there is none. */
const char *tf_build(void);

/* x86-64 level of this processor: 4, 3 or 1. */
int tf_cpu_level(void);

/* Make an empty potential; NULL if there is no memory or no build of the engine. */
tf_potential *tf_potential_new(void);

/* Read a potential from binary files of ænet (.nn), one for each species; or a committee.
 *
 * files: [n_members][n_files] paths, UTF-8; the files of a member in any order.
 */
int tf_potential_load(tf_potential *potential, int n_members, int n_files, const char *const *files, tf_error *error);

/* Free a potential and what it holds; nothing for NULL. */
void tf_potential_free(tf_potential *potential);

/* Members of the committee, 1 for a plain potential; species there are potentials for; 0 if nothing is loaded. */
int tf_potential_members(const tf_potential *potential);
int tf_potential_n_species(const tf_potential *potential);

/* Name of species k, from 0, in the order of the first member's files; "" out of range.  Lives as long as the potential. */
const char *tf_potential_species(const tf_potential *potential, int k);

/* Largest distance at which an atom sees another, Å. */
double tf_potential_cutoff(const tf_potential *potential);

/* Energies, forces, virials.
 *
 * n_threads: of this call; with more than one the last bits may differ from those with one.
 * stop: NULL, or a number that another thread may set to something else than 0 to end the call early.
 */
int tf_evaluate(const tf_potential *potential, const tf_atoms *atoms, const tf_results *results, int n_threads,
                const int32_t *stop, tf_error *error);

/* Standard deviation over the members (divisor: n_members) of n vectors of some width: of the norm of the departure from
 * the mean, as the calculator of taylorfit gives it.  width 1 for energies, 3 for forces, once those of ghosts are added.
 *
 * values: [n_members][n][width]; deviation: [n].
 */
void tf_deviation(int n_members, int n, int width, const double *values, double *deviation);

/* A function that tells whether long calls of the present thread are to end early.  It is asked often, so it must be
 * quick; NULL takes it back.  One for the whole process. */
typedef int (*tf_stop_check)(void);
void tf_set_stop_check(tf_stop_check check);

#ifdef __cplusplus
}
#endif
#endif
