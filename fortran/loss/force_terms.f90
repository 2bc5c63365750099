!> Terms of forces and of derivatives along directions in a loss over a packed data set.
module tf_force_terms
   use tf_kinds, only : wp, sp, i8
   use tf_error, only : error_type, raise, error_size
   use tf_force_map, only : force_map_type
   use tf_network, only : network_type
   use tf_pack, only : pack_type
   implicit none
   private
   public :: force_terms_type, check_force_terms

   !> What a force loss knows beyond the packed descriptors; views of the caller's arrays, of size 0 where not used
   type :: force_terms_type
      !> Is there a map, and with it forces?
      logical :: with_forces = .false.
      type(force_map_type) :: map
      !> (n_feature_most, n_species) standardised value = (value - shift)·factor
      real(wp), pointer, contiguous :: feature_factor(:, :) => null()
      !> (3, n_atoms) reference forces, and weight ω of each atom
      real(wp), pointer, contiguous :: force_ref(:, :) => null(), atom_weight(:) => null()
      !> (n_structures + 1) directions of structure s are first_direction(s) + 1 … first_direction(s + 1)
      integer, pointer, contiguous :: first_direction(:) => null()
      !> (n_structures + 1) changes of the standardised descriptors along them stand behind this many values;
      !> (all values of the structure, its directions)
      integer(i8), pointer, contiguous :: first_change(:) => null()
      real(sp), pointer, contiguous :: change(:) => null()
      !> (n_directions) reference derivatives and weights γ
      real(wp), pointer, contiguous :: derivative_ref(:) => null(), direction_weight(:) => null()
   end type force_terms_type

contains

   !> Refuse arrays of forces and directions that do not fit the packed data set
   subroutine check_force_terms(terms, pack, networks, error)
      type(force_terms_type), intent(in) :: terms
      type(pack_type), intent(in) :: pack
      type(network_type), intent(in) :: networks(:)
      type(error_type), allocatable, intent(inout) :: error
      integer :: s, t, n, n_derivatives
      integer(i8) :: n_values, n_forces

      n_forces = size(terms%atom_weight, kind=i8)
      n_derivatives = size(terms%derivative_ref)
      n = pack%n_structures
      if (terms%with_forces) then
         if (size(terms%map%first_atom) /= n + 1 .or. size(terms%feature_factor, 2) /= pack%n_species .or. &
            any(shape(terms%force_ref, i8) /= [3_i8, n_forces])) then
            call raise(error, error_size, "arrays of the forces have the wrong size")
            return
         end if
         do t = 1, pack%n_species
            if (networks(t)%n_nodes(1) > size(terms%feature_factor, 1)) then
              call raise(error, error_size, "the standardisation does not cover the descriptor")
            end if
         end do
         if (terms%map%first_atom(1) /= 0 .or. terms%map%first_atom(n + 1) /= n_forces) then
           call raise(error, error_size, "atom ranges of the structures do not cover the forces")
         end if
         do s = 1, n
            if (terms%map%first_atom(s + 1) - terms%map%first_atom(s) /= sum(pack%atom_count(:, s))) then
               call raise(error, error_size, "a structure does not have as many forces as atoms")
               return
            end if
         end do
      end if
      if (size(terms%first_direction) /= n + 1 .or. size(terms%first_change) /= n + 1 .or. &
         size(terms%direction_weight) /= n_derivatives) then
         call raise(error, error_size, "arrays of the directions have the wrong size")
         return
      end if
      if (terms%first_direction(1) /= 0 .or. terms%first_direction(n + 1) /= n_derivatives .or. &
         terms%first_change(1) /= 0 .or. terms%first_change(n + 1) /= size(terms%change, kind=i8)) then
        call raise(error, error_size, "offsets of the directions point outside their arrays")
      end if
      do s = 1, n
         n_values = 0
         do t = 1, pack%n_species
            n_values = n_values + int(pack%atom_count(t, s), i8)*networks(t)%n_nodes(1)
         end do
         if (terms%first_direction(s + 1) < terms%first_direction(s) .or. &
            terms%first_change(s + 1) - terms%first_change(s) /= &
            n_values*(terms%first_direction(s + 1) - terms%first_direction(s))) then
            call raise(error, error_size, "the directions of a structure do not fit its descriptors")
            return
         end if
      end do
   end subroutine check_force_terms

end module tf_force_terms
